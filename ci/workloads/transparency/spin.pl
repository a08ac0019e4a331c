# Computes until the file `stop` is there, and counts in the file `counted` how often it was looked for.
$| = 1;
for (my $n = 1; !-e 'stop'; $n++) {
    $x += $_ for 1 .. 100000;
    open my $file, '>', 'counted'; print $file "$n\n"; close $file;
    print "spinning\n" if $n == 1;
}
print "stopped by the file\n";
