# What surrounds a process: folder, umask, priority, limits, groups, environment, identity.
use lib $ENV{LIB};
use Until;
mkdir 'below'; chdir 'below';
umask 027;
setpriority 0, 0, 7;
$ENV{BORN} = 'before';
Until::moved();
open my $made, '>', 'made' or die; close $made;
printf "umask %o, made %o\n", umask, (stat 'made')[2];
print "priority ", getpriority(0, 0), "\n";
print "limit ", `sh -c 'ulimit -n; ulimit -s'`;
print "groups $)\n", "user $< $>\n";
print "environment $ENV{BORN} $ENV{HOME}\n";
print "same process\n" if $$ == readlink '/proc/self';
print "host ", `uname -n`;
print "folder ", (`pwd` =~ m{/below$} ? 'below' : 'elsewhere'), "\n";
