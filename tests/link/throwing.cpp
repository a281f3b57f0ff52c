// All that this program has of the C++ runtime is what operator new needs to fail as it should.
#include <cstddef>
#include <cstdint>
#include <new>

static std::size_t opaque(std::size_t size) {
  __asm__ volatile("" : "+r"(size));
  return size;
}

static bool throws(std::size_t size) {
  try {
    ::operator delete(::operator new(size));
    return false;
  } catch (...) {
    return true;
  }
}

static int calls;

static void give_up() {
  calls++;
  std::set_new_handler(nullptr);
}

int main() {
  const std::size_t too_much = opaque(PTRDIFF_MAX - 100);
  if (throws(opaque(100)) || !throws(too_much)) return 1;
  std::set_new_handler(give_up);
  if (!throws(too_much) || calls != 1) return 2;
  return 0;
}
