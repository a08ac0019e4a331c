# One TCP stream. take PORT: to standard output. give ADDRESS PORT: from standard input, once the other side listens.
# rate ADDRESS PORT MIB: as give, from memory; prints bytes a second.
use Socket;
sub now { my $at = "\0" x 16; syscall(228, 1, $at); my ($s, $ns) = unpack("qq", $at); $s + $ns / 1e9 } # CLOCK_MONOTONIC
sub all { my ($to, $bytes) = @_; my $at = 0; $at += syswrite($to, $bytes, length($bytes) - $at, $at) || die $! while $at < length $bytes; }
my ($mode, @rest) = @ARGV;
if ($mode eq "take") {
    socket(my $socket, AF_INET, SOCK_STREAM, 0) or die $!;
    setsockopt($socket, SOL_SOCKET, SO_REUSEADDR, 1);
    bind($socket, sockaddr_in($rest[0], INADDR_ANY)) && listen($socket, 1) or die $!;
    accept(my $peer, $socket) or die $!;
    while (sysread($peer, my $bytes, 1048576)) { all(STDOUT, $bytes); }
    syswrite($peer, "x");
    exit;
}
my ($address, $port, $mib) = @rest;
my $peer;
until (socket($peer, AF_INET, SOCK_STREAM, 0) && connect($peer, sockaddr_in($port, inet_aton($address)))) {
    select(undef, undef, undef, 0.05);
}
my ($start, $bytes) = (now(), "x" x 1048576);
if ($mode eq "rate") {
    all($peer, $bytes) for 1 .. $mib;
} else {
    while (sysread(STDIN, $bytes, 1048576)) { all($peer, $bytes); }
}
shutdown($peer, 1);
sysread($peer, $bytes, 1);
printf "%d\n", $mib * 1048576 / (now() - $start) if $mode eq "rate";
