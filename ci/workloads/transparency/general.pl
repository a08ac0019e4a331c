# Speaks by /dev/tty alone, which it has opened by that name.
open my $terminal, '+<', '/dev/tty' or die;
select $terminal;
$| = 1;
print "general\n";
while (<$terminal>) { print uc }
print "over\n";
