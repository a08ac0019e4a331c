# Ends while its child goes on.
use lib $ENV{LIB};
use Until;
$| = 1;
if (!fork) {
    Until::moved();
    until (-e 'left') { $x += $_ for 1 .. 20000 }
    print "the child goes on\n";
    open my $over, '>', 'over'; print $over "over\n";
    exit;
}
Until::moved();
print "the parent ends\n";
exit 9;
