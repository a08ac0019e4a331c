# A surface with many samples, with hidden lines, as text, table and picture.
set terminal svg size 800,600 dynamic
set output "surface.svg"
set samples 90
set isosamples 90
set hidden3d
f(x, y) = sin(sqrt(x * x + y * y)) / (0.1 + sqrt(x * x + y * y)) + 0.1 * besj0(x * y)
splot [-8:8] [-8:8] f(x, y)
set output
set samples 400
set isosamples 160
set table "surface.txt"
splot [-8:8] [-8:8] f(x, y)
unset table
sum = 0
do for [i = 1:300000] { sum = sum + sin(i) * besj1(i / 1000.0) }
set print "sum"
print sprintf("%.6f", sum)
