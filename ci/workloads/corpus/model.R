# A bootstrap of a linear model, and a singular value decomposition; the seed makes it the same each time.
set.seed(4711)
n <- 300
x <- rnorm(n); z <- runif(n)
y <- 2 * x - z + rnorm(n)
estimates <- t(sapply(1:3500, function(i) {
    chosen <- sample(n, replace = TRUE)
    coef(lm(y[chosen] ~ x[chosen] + z[chosen]))
}))
print(signif(apply(estimates, 2, quantile), 6), digits = 6)
m <- matrix(rnorm(150 * 150), 150)
print(signif(svd(m)$d[1:5], 6))
write.csv(signif(estimates, 6), "estimates.csv")
