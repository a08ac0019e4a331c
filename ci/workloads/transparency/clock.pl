# Time neither steps back nor leaps: CLOCK_MONOTONIC is followed across a move.
use lib $ENV{LIB};
sub now { my $time = "\0" x 16; syscall(228, 1, $time); my ($s, $n) = unpack 'qq', $time; $s + $n / 1e9 }
my $last = my $begin = now();
my ($back, $leap) = (0, 0);
open my $waits, '>', "$ENV{MARK}.$$" or die; close $waits;
until (-e $ENV{MARK}) {
    for (1 .. 2000) {
        my $now = now();
        $back++ if $now < $last;
        $leap++ if $now > $last + 120;
        $last = $now;
    }
}
print "stepped back $back times, leapt $leap times\n";
