# Reads lines, the first of them before a move, and tells what it has read.
use lib $ENV{LIB};
use Until;
my ($first) = @ARGV;
my ($lines, $sum) = (0, 0);
while (<STDIN>) {
    $lines++;
    $sum = ($sum * 31 + unpack "%32C*", $_) % 4294967291;
    Until::moved() if $lines == $first;
}
print "$lines lines, sum $sum\n";
