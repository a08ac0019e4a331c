# Writes a Makefile and $1 C files that use each other, and that include what real programs do.
i=0
while [ $i -lt "$1" ]; do
    cat > part$i.c <<END
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <math.h>
#include <time.h>
#include <unistd.h>
#include <sys/socket.h>
struct point$i { double x, y; char name[$((i + 8))]; };
static int order$i(const void *a, const void *b) {
    double d = ((const struct point$i *)a)->x - ((const struct point$i *)b)->x;
    return d < 0 ? -1 : d > 0;
}
double part$i(int n) {
    struct point$i *all = calloc(n, sizeof *all);
    double sum = $i;
    for (int i = 0; i < n; i++) {
        all[i].x = sin(i * ${i}.5); all[i].y = cos(i + $i);
        snprintf(all[i].name, sizeof all[i].name, "%d", i * $i);
    }
    qsort(all, n, sizeof *all, order$i);
    for (int i = 0; i < n; i++) sum += all[i].y * i * strlen(all[i].name);
    free(all);
    return sum;
}
END
    i=$((i + 1))
done
{
    i=0
    while [ $i -lt "$1" ]; do echo "double part$i(int);"; i=$((i + 1)); done
    echo '#include <stdio.h>'
    echo 'int main(void) { double s = 0;'
    i=0
    while [ $i -lt "$1" ]; do echo "s += part$i(50);"; i=$((i + 1)); done
    echo 'printf("%.6f", s); return 0; }'
} > main.c
cat > Makefile <<'END'
objects = $(patsubst %.c,%.o,$(sort $(wildcard *.c)))
program: $(objects)
	$(CC) -o $@ $^ -lm
	./program > result
%.o: %.c
	$(CC) -O2 -c -o $@ $<
END
