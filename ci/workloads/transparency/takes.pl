# Takes exactly so many bytes from its input, and leaves the rest to others.
use lib $ENV{LIB};
use Until;
sysread STDIN, my $before, 20;
Until::moved();
sysread STDIN, my $after, 30;
print "before [$before] after [$after]\n";
