# An event loop: eventfd, timerfd, signalfd, epoll, a memfd. Perl knows them only by their numbers (x86-64).
use lib $ENV{LIB};
use Until;
use constant { EVENTFD2 => 290, TIMERFD_CREATE => 283, TIMERFD_SETTIME => 286, EPOLL_CREATE1 => 291,
    EPOLL_CTL => 233, EPOLL_WAIT => 232, MEMFD_CREATE => 319, SIGNALFD4 => 289, RT_SIGPROCMASK => 14 };
sub descriptor { my $number = syscall(shift, @_); die "$!" if $number < 0; open my $file, "+<&=$number" or die "$!"; $file }
my $usr1 = pack 'Q', 1 << 9;
syscall(RT_SIGPROCMASK, 0, $usr1, 0, 8);
my $event = descriptor(EVENTFD2, 3, 0);
my $timer = descriptor(TIMERFD_CREATE, 1, 0);
my $signal = descriptor(SIGNALFD4, -1, $usr1, 8, 0);
my $poll = descriptor(EPOLL_CREATE1, 0);
my $name = "scratch\0";
my $memory = descriptor(MEMFD_CREATE, $name, 0);
syswrite $memory, "kept in memory";
for my $file ($event, $timer, $signal) {
    my $entry = pack 'LQ', 1, fileno $file;
    syscall(EPOLL_CTL, fileno $poll, 1, fileno $file, $entry) == 0 or die "$!";
}
# In an hour, unless it is set anew.
my $hour = pack 'qqqq', 0, 0, 3600, 0;
syscall(TIMERFD_SETTIME, fileno $timer, 0, $hour, 0) == 0 or die "$!";
Until::moved();
sub ready {
    my $entries = "\0" x 120;
    my $count = syscall(EPOLL_WAIT, fileno $poll, $entries, 10, shift);
    my @names;
    for my $n (0 .. $count - 1) {
        my (undef, $number) = unpack 'LQ', substr $entries, 12 * $n, 12;
        push @names, $number == fileno $event ? 'event' : $number == fileno $timer ? 'timer' : 'signal';
    }
    join ' ', sort @names;
}
print "ready: ", ready(0), "\n";
sysread $event, my $count, 8;
print "event: ", unpack('Q', $count), "\n";
print "ready: ", ready(0), "\n";
my $soon = pack 'qqqq', 0, 0, 0, 200_000_000;
syscall(TIMERFD_SETTIME, fileno $timer, 0, $soon, 0) == 0 or die "$!";
print "ready: ", ready(60_000), "\n";
sysread $timer, $count, 8;
kill 'USR1', $$;
print "ready: ", ready(60_000), "\n";
sysread $signal, my $record, 128;
print "signal: ", unpack('L', $record), "\n";
sysseek $memory, 0, 0;
sysread $memory, my $kept, 100;
print "memory: $kept\n";
