# Computes until the file `stop` is there, and counts in the file `counted` how often it was looked for.
for (my $n = 1; !-e 'stop'; $n++) {
    $x += $_ for 1 .. 100000;
    open my $file, '>', 'counted'; print $file "$n\n";
}
print "stopped by the file\n";
