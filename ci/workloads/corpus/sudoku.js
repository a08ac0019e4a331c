// Runs in any JavaScript engine, also one that is written in Java: sudokus, by trying, from the last square on.
var write = typeof print === "function" ? print : console.log;
var tries = 0;
function solve(board, at) {
    while (at >= 0 && board[at] !== 0) at--;
    if (at < 0) return true;
    for (var value = 1; value <= 9; value++) {
        var fits = true, row = (at / 9) | 0, column = at % 9;
        var corner = (row - row % 3) * 9 + column - column % 3;
        for (var i = 0; fits && i < 9; i++) {
            fits = board[row * 9 + i] !== value && board[i * 9 + column] !== value &&
                board[corner + ((i / 3) | 0) * 9 + i % 3] !== value;
        }
        if (fits) {
            tries++;
            board[at] = value;
            if (solve(board, at - 1)) return true;
            board[at] = 0;
        }
    }
    return false;
}
var puzzles = [
    "530070000600195000098000060800060003400803001700020006060000280000419005000080079",
    "000000907000420180000705026100904000050000040000507009920108000034059000507000000",
    "030050040008010500460000012070502080000603000040109030250000098001020600080060020"
];
for (var round = 0; round < ROUNDS; round++) {
    for (var p = 0; p < puzzles.length; p++) {
        var board = puzzles[p].split("").map(Number);
        solve(board, 80);
        write(round + " " + p + " " + tries + " " + board.join(""));
    }
}
