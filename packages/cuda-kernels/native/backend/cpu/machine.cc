#include "backend/cpu/machine.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <set>
#include <thread>

#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif
#ifdef __linux__
#include <sched.h>
#endif
#ifdef __APPLE__
#include <sys/sysctl.h>
#endif

namespace vitgraph::cpu {
namespace {

#ifdef __linux__

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

/// The value after `key` in a file of "key: value" lines.
std::string line_value(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.rfind(key, 0) != 0) continue;
    const std::size_t start = line.find_first_not_of(" \t", line.find(':') + 1);
    return start == std::string::npos ? "" : line.substr(start);
  }
  return "";
}

std::uint64_t number_or(const std::string& text, std::uint64_t otherwise) {
  if (text.empty() || text[0] < '0' || text[0] > '9') return otherwise;
  return std::strtoull(text.c_str(), nullptr, 10);
}

/// Cores that the container's quota comes to, or a large number. (cgroup v2, then v1.)
int quota_cores() {
  constexpr int unlimited = std::numeric_limits<int>::max();
  const std::string v2 = first_line("/sys/fs/cgroup/cpu.max");
  std::uint64_t quota = number_or(v2, 0);
  std::uint64_t period = number_or(v2.substr(std::min(v2.size(), v2.find(' ') + 1)), 0);
  if (quota == 0) {
    quota = number_or(first_line("/sys/fs/cgroup/cpu/cpu.cfs_quota_us"), 0);
    period = number_or(first_line("/sys/fs/cgroup/cpu/cpu.cfs_period_us"), 0);
  }
  if (quota == 0 || period == 0) return unlimited;
  return static_cast<int>(std::min<std::uint64_t>(std::max<std::uint64_t>(quota / period, 1), unlimited));
}

/// Distinct cores among the processors of this process's affinity mask.
int affinity_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return static_cast<int>(std::thread::hardware_concurrency());
  std::set<std::string> cores;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &set)) continue;
    const std::string siblings =
        first_line("/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/thread_siblings_list");
    cores.insert(siblings.empty() ? std::to_string(cpu) : siblings);
  }
  return static_cast<int>(cores.size());
}

#endif

}  // namespace

MemoryState memory_state() {
#if defined(__linux__)
  std::uint64_t total = number_or(line_value("/proc/meminfo", "MemTotal"), 0) * 1024;
  std::uint64_t available = number_or(line_value("/proc/meminfo", "MemAvailable"), 0) * 1024;
  for (const char* directory : {"/sys/fs/cgroup/memory.", "/sys/fs/cgroup/memory/memory."}) {
    const std::string base = directory;
    const bool v2 = base == "/sys/fs/cgroup/memory.";
    const std::uint64_t limit = number_or(first_line(base + (v2 ? "max" : "limit_in_bytes")), total);
    if (limit >= total) continue;
    const std::uint64_t used = number_or(first_line(base + (v2 ? "current" : "usage_in_bytes")), 0);
    total = limit;
    available = std::min(available, limit - std::min(limit, used));
  }
  return {total, available};
#elif defined(__APPLE__)
  std::uint64_t total = 0;
  std::size_t size = sizeof total;
  sysctlbyname("hw.memsize", &total, &size, nullptr, 0);
  return {total, total};
#else
  return {std::numeric_limits<std::uint64_t>::max(), std::numeric_limits<std::uint64_t>::max()};
#endif
}

int usable_cores() {
#if defined(__linux__)
  return std::max(1, std::min(affinity_cores(), quota_cores()));
#elif defined(__APPLE__)
  int cores = 0;
  std::size_t size = sizeof cores;
  // Efficiency cores would hold the fast ones up at every step's end.
  if (sysctlbyname("hw.perflevel0.physicalcpu", &cores, &size, nullptr, 0) != 0 || cores < 1) {
    size = sizeof cores;
    sysctlbyname("hw.physicalcpu", &cores, &size, nullptr, 0);
  }
  return std::max(1, cores);
#else
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
#endif
}

std::string processor_name() {
  std::string name;
#if defined(__linux__)
  name = line_value("/proc/cpuinfo", "model name");
#elif defined(__APPLE__)
  char brand[128] = {};
  std::size_t size = sizeof brand - 1;
  if (sysctlbyname("machdep.cpu.brand_string", brand, &size, nullptr, 0) == 0) name = brand;
#endif
  if (!name.empty()) return name;
#if defined(__aarch64__) || defined(_M_ARM64)
  return "arm64 processor";
#else
  return "x86-64 processor";
#endif
}

}  // namespace vitgraph::cpu
