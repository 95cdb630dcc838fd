// Which way each matrix product of a program takes. All ways of a product are timed alone; those that come close are then
// timed in their place, in a few layers captured as a graph: what a product finds in L2, and which blocks it waits for,
// depend on its neighbours.
#pragma once

#include <functional>
#include <memory>
#include <span>

#include "backend/cuda/cuda_device.h"
#include "backend/cuda/linear_step.h"
#include "backend/cuda/step.h"

namespace vitgraph::cuda {

/// A step of the program, in its order.
struct MeasuredStep {
  StepLaunch launch;
  /// Null where it is no product, or one that cannot be measured.
  std::shared_ptr<LinearStep> product;
  /// Follows no index, so that it can run before any batch has brought one.
  bool runs_without_indices;
};

/// Chooses for all products that the device's algorithm cache does not know, and remembers the answers there.
/// `fill_operands` gives the stream what makes the operands fit to be read, and is called before each timed run.
void measure_products(CudaDevice& device, std::span<const MeasuredStep> steps, const std::function<void()>& fill_operands);

}  // namespace vitgraph::cuda
