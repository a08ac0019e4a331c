# Writes lines, the first of them before a move.
use lib $ENV{LIB};
use Until;
$| = 1;
my ($first, $all) = @ARGV;
print "line $_\n" for 1 .. $first;
Until::moved();
print "line $_\n" for $first + 1 .. $all;
