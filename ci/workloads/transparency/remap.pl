# Moves its memory about with mremap(2) all the time, two areas of 16 MiB that change places; at the end each must hold
# what it held at first.
use lib $ENV{LIB};
my ($MMAP, $MREMAP, $MUNMAP, $READ, $WRITE) = (9, 25, 11, 0, 1);
my $size = 16 << 20;
# At a boundary of 2 MiB, so that whole page tables are moved.
my $all = syscall($MMAP, 0, 4 * $size, 3, 0x22, -1, 0);
my $at = ($all + (2 << 20) - 1) & ~((2 << 20) - 1);
my @place = map { $at + $_ * $size } 0 .. 2;
syscall($MUNMAP, $place[2], $size);
for my $n (0, 1) {
    # Small pages.
    syscall(28, $place[$n], $size, 15);
    open my $out, '>', "fill$n" or die;
    print $out chr(65 + $n) x $size;
    close $out;
    open my $in, '<', "fill$n" or die;
    for (my $done = 0; $done < $size;) {
        my $read = syscall($READ, fileno $in, $place[$n] + $done, $size - $done);
        die if $read <= 0;
        $done += $read;
    }
    unlink "fill$n";
}
sub move { my ($from, $to) = @_; syscall($MREMAP, $from, $size, $size, 3, $to) == $to or die "mremap: $!" }
my ($first, $second, $free) = @place;
open my $waits, '>', "$ENV{MARK}.$$" or die; close $waits;
until (-e $ENV{MARK}) {
    move($first, $free);
    move($second, $first);
    move($free, $second);
    # Now each is where the other was.
    ($wrong) = ($wrong ^ 1);
    my $sum = 0;
    $sum += $_ for 1 .. 20000;
}
my @now = $wrong ? ($second, $first) : ($first, $second);
for my $n (0, 1) {
    open my $out, '>', "held$n" or die;
    for (my $done = 0; $done < $size;) {
        my $written = syscall($WRITE, fileno $out, $now[$n] + $done, $size - $done);
        die if $written <= 0;
        $done += $written;
    }
    close $out;
    open my $in, '<', "held$n" or die;
    local $/;
    my $held = <$in>;
    my $right = $held eq chr(65 + $n) x $size;
    print "area $n ", $right ? "holds what it held\n" : "holds something else\n";
    unlink "held$n";
}
