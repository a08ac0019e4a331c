# A parent, children and a grandchild that talk through pipes and a pair of sockets; a zombie; new ones after the move.
use lib $ENV{LIB};
use Until;
use Socket;
$| = 1;
pipe my $from_child, my $to_parent or die;
socketpair my $one, my $other, AF_UNIX, SOCK_STREAM, 0 or die;
my $child = fork;
if (!$child) {
    my $grandchild = fork;
    if (!$grandchild) {
        Until::moved();
        syswrite $to_parent, "grandchild\n";
        exit 3;
    }
    Until::moved();
    waitpid $grandchild, 0;
    syswrite $to_parent, "child: grandchild ended with " . ($? >> 8) . "\n";
    my $asked = '';
    sysread $other, $asked, 100, length $asked until $asked =~ /late/;
    syswrite $other, "answer to $asked";
    exit 4;
}
my $zombie = fork;
exit 5 if !$zombie;
# Wait until it has ended, without asking for its status.
while (1) {
    open my $stat, '<', "/proc/$zombie/stat" or die;
    last if <$stat> =~ /\) Z /;
}
syswrite $one, "early ";
Until::moved();
close $to_parent;
syswrite $one, "late";
my @said = <$from_child>;
print "heard: $_" for @said;
waitpid $zombie, 0;
print "zombie ended with ", $? >> 8, "\n";
sysread $one, my $answer, 100;
print "socket: $answer\n";
waitpid $child, 0;
print "child ended with ", $? >> 8, "\n";
my $new = fork;
exit 6 if !$new;
waitpid $new, 0;
print "new child ended with ", $? >> 8, "\n";
print "a program: ", `echo run after the move`;
