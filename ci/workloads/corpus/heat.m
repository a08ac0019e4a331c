% Heat in a plate by finite differences, an eigenvalue problem, and a fit.
n = 60;
u = zeros (n); u(1, :) = 100;
for step = 1:6000
  u(2:n-1, 2:n-1) = (u(1:n-2, 2:n-1) + u(3:n, 2:n-1) + u(2:n-1, 1:n-2) + u(2:n-1, 3:n)) / 4;
  if mod (step, 1000) == 0
    printf ("%d %.6f\n", step, sum (u(:)));
  end
end
k = 0;
for i = 1:200000
  k = mod (k * 31 + i, 1000003);
end
printf ("%d\n", k);
e = sort (eig (gallery ("minij", 80)));
printf ("%.6f %.6f\n", e(1), e(end));
x = linspace (0, 1, 200); p = polyfit (x, sin (3 * x), 5);
printf ("%.5f ", p); printf ("\n");
fid = fopen ("plate", "w"); fprintf (fid, "%.4f\n", u); fclose (fid);
