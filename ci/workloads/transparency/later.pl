# Opens a socket after it has moved, and talks to itself through it.
use lib $ENV{LIB};
use Until;
use Socket;
Until::moved();
socket my $server, PF_INET, SOCK_STREAM, 0 or die;
bind $server, sockaddr_in(0, INADDR_LOOPBACK) or die; listen $server, 1 or die;
socket my $client, PF_INET, SOCK_STREAM, 0 or die;
connect $client, getsockname $server or die;
accept my $peer, $server or die;
syswrite $client, "through the loopback"; close $client;
sysread $peer, my $heard, 100;
print "$heard\n";
