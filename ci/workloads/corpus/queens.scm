;; Ways to place queens, with lists, and big numbers.
(define (ok? row dist placed)
  (or (null? placed)
      (and (not (= (car placed) (+ row dist)))
           (not (= (car placed) (- row dist)))
           (not (= (car placed) row))
           (ok? row (+ dist 1) (cdr placed)))))
(define (solve n left placed)
  (if (= left 0)
      1
      (let loop ((row n) (sum 0))
        (if (= row 0)
            sum
            (loop (- row 1) (if (ok? row 1 placed) (+ sum (solve n (- left 1) (cons row placed))) sum))))))
(define (factorial n) (if (= n 0) 1 (* n (factorial (- n 1)))))
(define size (string->number (cadr (command-line))))
(do ((n 4 (+ n 1))) ((> n size)) (format #t "~a: ~a~%" n (solve n n '())))
(format #t "~a~%" (modulo (factorial 3000) (- (expt 2 521) 1)))
