// A C++ library in a C program: its operator new is libmesh's, but the C++ runtime is nowhere in the global
// scope.
#include <cstddef>
#include <new>
#include <string>
#include <vector>

static volatile std::size_t huge = static_cast<std::size_t>(1) << 60;
static int handler_calls;

static void give_up() {
  handler_calls++;
  std::set_new_handler(nullptr);
}

static bool throws_bad_alloc() {
  try {
    ::operator delete(::operator new(huge));
  } catch (const std::bad_alloc &) {
    return true;
  }
  return false;
}

static bool containers_work() {
  std::vector<std::string> words;
  for (int i = 0; i < 10000; i++)
    words.push_back("a string that is too long to be held in place " + std::to_string(i));
  return words[9999].size() > 40;
}

extern "C" int plugin_test() {
  if (!containers_work()) return 1;
  if (!throws_bad_alloc()) return 2;
  std::set_new_handler(give_up);
  if (!throws_bad_alloc() || handler_calls != 1) return 3;
  if (new (std::nothrow) char[huge] != nullptr) return 4;
  return 0;
}
