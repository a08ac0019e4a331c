# Starts processes all the time, also where it has moved to; they stay, and move on with it each time.
use lib $ENV{LIB};
use Until;
$| = 1;
my ($most, $wrong, @children) = (16, 0);
Until::moved(sub {
    my $end = time + 1;
    1 while time < $end;
    return if @children >= $most;
    my $child = fork;
    if (!$child) {
        select undef, undef, undef, 0.2 until -e $ENV{MARK};
        exit 7;
    }
    push @children, $child;
});
for (@children) { waitpid $_, 0; $wrong++ if $? >> 8 != 7; }
print $wrong ? "$wrong of them ended as they should not\n" : "all of them ended as they should\n";
