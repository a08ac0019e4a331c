#include <Eigen/Dense>
#include <algorithm>
#include <iostream>
#include <map>
#include <regex>
#include <string>

template <int N> double largest() {
    Eigen::Matrix<double, N, N> m = Eigen::Matrix<double, N, N>::Identity() * N;
    Eigen::SelfAdjointEigenSolver<Eigen::Matrix<double, N, N>> solver(m + m.transpose());
    return solver.eigenvalues().maxCoeff() + m.fullPivLu().determinant();
}

int main() {
    std::map<std::string, double> found;
    found["three"] = largest<3>();
    found["five"] = largest<5>();
    for (auto const &[name, value] : found)
        if (std::regex_match(name, std::regex("[a-z]+"))) std::cout << name << ' ' << value << '\n';
}
