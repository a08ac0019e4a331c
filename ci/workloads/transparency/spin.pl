# Computes until the file `stop` is there, and counts in the file `counted` how often it was looked for.
$| = 1;
print "spinning\n";
for (my $n = 1; !-e 'stop'; $n++) {
    $x += $_ for 1 .. 100000;
    open my $file, '>', 'counted'; print $file "$n\n";
}
print "stopped by the file\n";
