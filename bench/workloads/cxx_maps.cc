// std::map and std::unordered_map with string keys, filled, looked up and thinned out.
// cxx_maps KEYS ROUNDS
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <unordered_map>

static uint64_t state = 1;

static uint64_t random_number() {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

static std::string random_key(size_t keys) {
  return "a key of some length " + std::to_string(random_number() % keys);
}

template <class Map>
static uint64_t churn(size_t keys, size_t rounds) {
  Map map;
  uint64_t sum = 0;
  for (size_t round = 0; round < rounds; round++) {
    for (size_t i = 0; i < keys; i++) map[random_key(keys)] += std::string(random_number() % 40, 'v');
    for (size_t i = 0; i < keys / 2; i++) {
      auto found = map.find(random_key(keys));
      if (found == map.end()) continue;
      sum += found->second.size();
      map.erase(found);
    }
  }
  return sum + map.size();
}

int main(int argc, char **argv) {
  size_t keys = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 50000;
  size_t rounds = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 6;
  uint64_t sum = churn<std::map<std::string, std::string>>(keys, rounds);
  sum += 3 * churn<std::unordered_map<std::string, std::string>>(keys, rounds);
  std::printf("checksum %016llx\n", static_cast<unsigned long long>(sum));
}
