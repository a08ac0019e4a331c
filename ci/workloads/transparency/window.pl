# Computes, and tells its window's size at first and whenever that changes.
$| = 1;
sub size { my $size = `stty size`; chomp $size; $size }
print "at first ", size(), "\n";
my $changed = 0;
$SIG{WINCH} = sub { $changed = 1 };
while (1) {
    $x += $_ for 1 .. 20000;
    if ($changed) { $changed = 0; print "now ", size(), "\n" }
}
