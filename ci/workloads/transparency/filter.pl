# Reads lines and writes them in capital letters with a mark; a move comes after the first ones.
use lib $ENV{LIB};
use Until;
$| = 1;
my ($mark, $first) = @ARGV;
while (<STDIN>) {
    print "$mark ", uc;
    Until::moved() if $. == $first;
}
