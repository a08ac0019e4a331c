# Computes until the test says that everything has been moved; or does something again and again.
package Until;

sub moved {
    my ($work, $sum) = (shift, 0);
    # From here on it may be moved.
    open my $waits, '>', "$ENV{MARK}.$$" or die; close $waits;
    until (-e $ENV{MARK}) {
        if ($work) { $work->() } else { $sum += $_ for 1 .. 20000 }
    }
}

1;
