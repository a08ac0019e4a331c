# Prints a numbered line a second to the terminal until a file named `ticker.stop` is there.
#
#   perl ticker.pl &

use strict;
use warnings;

$| = 1;
my $number = 0;
until (-e "ticker.stop") {
    $number++;
    print "tick $number\n";
    # A sleep may be cut short when the process is frozen and moved: sleep on until the second is over.
    my $next = time + 1;
    select(undef, undef, undef, 0.2) while time < $next;
}
print "ticks $number\n";
