# worker.pl MIB PAGES: a process with MIB of memory that computes, and writes to PAGES pages a second.
sub now { my $at = "\0" x 16; syscall(228, 1, $at); my ($s, $ns) = unpack("qq", $at); $s + $ns / 1e9 } # CLOCK_MONOTONIC
$| = 1;
my ($mib, $pages) = @ARGV;
my ($size, $memory, $work, $said, $written) = ($mib * 256, "", 0, 0, 0);
vec($memory, $mib * 1048576 - 1, 8) = 1;
substr($memory, $_ * 4096, 8) = sprintf("%08d", $_) for 0 .. $size - 1;
print "ready\n";
my $start = now();
while (1) {
    $work += $_ % 7 for 1 .. 2000;
    my $now = now() - $start;
    next if $pages < 0 && select(undef, undef, undef, 1000);
    for (; $written < $now * $pages; $written++) {
        substr($memory, ($written % ($size < 512 ? $size : 512)) * 4096, 8) = sprintf("%08d", $written % 1e8);
    }
    if ($now > $said + 0.5) { printf "%.2f %d\n", $now, $work; $said = $now; }
}
