// A program that replaces the plain forms of operator new and delete, and no others: those that the standard
// defines by them call the program's. Each block has a header, so that a call that passes it by is seen.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>

static const std::uint64_t mark = 0x6D65736821u;
static long live, failures;

static void check(bool condition, const char *what) {
  if (condition) return;
  std::fprintf(stderr, "not so: %s\n", what);
  failures++;
}

void *operator new(std::size_t size) {
  if (size > PTRDIFF_MAX / 2) throw std::bad_alloc();
  std::uint64_t *block = static_cast<std::uint64_t *>(std::malloc(size + 16));
  if (!block) throw std::bad_alloc();
  block[0] = mark;
  live++;
  return block + 2;
}

void operator delete(void *p) noexcept {
  if (!p) return;
  std::uint64_t *block = static_cast<std::uint64_t *>(p) - 2;
  check(block[0] == mark, "delete gets what new returned");
  block[0] = 0;
  live--;
  std::free(block);
}

struct Thing {
  int numbers[10];
  ~Thing() { numbers[0] = 0; }
};

template <typename T>
static T *opaque(T *p) {
  __asm__ volatile("" : "+r"(p) : : "memory");
  return p;
}

int main() {
  for (int i = 0; i < 1000; i++) {
    delete opaque(new Thing);                  // sized
    delete[] opaque(new Thing[5]);             // array, sized
    delete opaque(new (std::nothrow) Thing);   // nothrow
    delete[] opaque(new (std::nothrow) int[7]);
    ::operator delete(::operator new(20), std::nothrow);
    ::operator delete[](::operator new[](20), std::nothrow);
    ::operator delete[](::operator new[](20));
  }
  check(live == 0, "every form came by the replaced ones");
  volatile std::size_t much = PTRDIFF_MAX - 100;
  check(::operator new(much, std::nothrow) == nullptr, "a nothrow form catches what the replaced one throws");
  check(::operator new[](much, std::nothrow) == nullptr, "and so does that of arrays");
  return failures != 0;
}
