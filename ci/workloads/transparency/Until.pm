# Computes until the test says that everything has been moved.
package Until;

sub moved {
    my $sum = 0;
    until (-e $ENV{MARK}) { $sum += $_ for 1 .. 20000 }
}

1;
