#include <Eigen/Core>
#include <algorithm>
#include <iostream>
#include <map>
#include <string>
#include <vector>

template <int N> double trace() {
    Eigen::Matrix<double, N, N> m = Eigen::Matrix<double, N, N>::Identity() * N;
    return (m * m + m.transpose()).trace();
}

int main() {
    std::map<std::string, double> found;
    found["three"] = trace<3>();
    std::vector<std::pair<double, std::string>> order;
    for (auto const &[name, value] : found) order.emplace_back(value, name);
    std::sort(order.begin(), order.end());
    for (auto const &[value, name] : order) std::cout << name << ' ' << value << '\n';
}
