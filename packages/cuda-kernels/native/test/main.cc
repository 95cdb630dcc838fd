// The native tests: code of the CUDA backend that runs on a machine without a GPU. Exits with 1 and names each check that
// failed.
#include "test/expect.h"

namespace vitgraph {

void test_algorithm_cache();
void test_linear_heuristics();
void test_run_control();
void test_run_metadata();

}  // namespace vitgraph

int main() {
  vitgraph::test_algorithm_cache();
  vitgraph::test_linear_heuristics();
  vitgraph::test_run_control();
  vitgraph::test_run_metadata();
  return vitgraph::failures == 0 ? 0 : 1;
}
