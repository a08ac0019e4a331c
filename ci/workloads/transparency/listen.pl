# Has a socket of the network open.
use lib $ENV{LIB};
use Until;
use Socket;
socket my $socket, PF_INET, SOCK_STREAM, 0 or die;
bind $socket, sockaddr_in(0, INADDR_LOOPBACK) or die; listen $socket, 1 or die;
Until::moved();
print "done\n";
