// The nothrow forms return NULL too where a handler throws.
#include <cstddef>
#include <cstdint>
#include <new>

static int calls;

static void give_up() {
  calls++;
  throw std::bad_alloc();
}

int main() {
  volatile std::size_t too_much = PTRDIFF_MAX - 100;
  std::set_new_handler(give_up);
  if (::operator new(too_much, std::nothrow) != nullptr || calls != 1) return 1;
  if (::operator new[](too_much, std::nothrow) != nullptr || calls != 2) return 2;
  ::operator delete(::operator new(100, std::nothrow), std::nothrow);
  return 0;
}
