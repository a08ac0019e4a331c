# Holds a lock.
use lib $ENV{LIB};
use Until;
open my $file, '>', 'locked'; flock $file, 2 or die;
Until::moved();
print "done\n";
