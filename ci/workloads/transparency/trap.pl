# Tells which signals have come.
use lib $ENV{LIB};
use Until;
$| = 1;
my %seen;
for my $name (qw(HUP INT USR1 USR2)) { $SIG{$name} = sub { $seen{$name}++ } }
Until::moved();
print "ready\n";
open my $ready, '>', 'ready'; close $ready;
until ($seen{USR2}) { for (1 .. 20000) { $x++ } }
print "got ", join(" ", sort keys %seen), "\n";
while (1) { $x++ }
