# Output and errors apart, before and after a move.
use lib $ENV{LIB};
use Until;
$| = 1;
print STDOUT "out 1\n"; print STDERR "err 1\n";
Until::moved();
print STDOUT "out 2\n"; print STDERR "err 2\n";
warn "warned\n";
exit 7;
