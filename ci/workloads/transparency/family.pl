# A parent and two children in one group; each notes the signals that it gets, and ends with the first.
for my $name (qw(one two)) {
    next if fork;
    run($name);
}
run('parent');

sub run {
    my ($name) = @_;
    for my $signal (qw(INT TERM QUIT HUP)) {
        $SIG{$signal} = sub { open my $file, '>', "$name-$signal"; close $file; exit 20 };
    }
    open my $up, '>', "$name-up"; close $up;
    while (1) { $x++ }
}
