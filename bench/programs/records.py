"""Records made, written as JSON, read back, grouped and searched: records.py SCALE"""
import json
import random
import re
import sys
import zlib

FIRST = ["Ada", "Grace", "Edsger", "Barbara", "Donald", "Frances", "John", "Radia"]
CITIES = ["Oslo", "Lima", "Cairo", "Quito", "Riga", "Accra", "Hanoi", "Turin"]


def make_records(count, rng):
    return [
        {
            "id": i,
            "name": f"{rng.choice(FIRST)} {rng.getrandbits(40):x}",
            "mail": f"user{rng.randrange(count)}@host{rng.randrange(50)}.example",
            "tags": [rng.choice(CITIES) for _ in range(rng.randrange(6))],
            "score": rng.random(),
            "note": "lorem ipsum " * rng.randrange(12),
        }
        for i in range(count)
    ]


def group_by_city(records):
    cities = {}
    for record in records:
        for tag in record["tags"]:
            cities.setdefault(tag, {}).setdefault(record["name"][0], []).append(record["score"])
    return {city: {letter: sum(scores) for letter, scores in groups.items()} for city, groups in cities.items()}


def count_hosts(text):
    hosts = {}
    for match in re.finditer(r'"mail": "([a-z0-9]+)@(host[0-9]+)\.example"', text):
        hosts[match.group(2)] = hosts.get(match.group(2), 0) + 1
    return sorted(hosts.items())


def main():
    rng = random.Random(1)
    crc = 0
    kept = []
    for _ in range(4 * int(sys.argv[1])):
        text = json.dumps(make_records(8000, rng))
        records = json.loads(text)
        answer = json.dumps([group_by_city(records), count_hosts(text)], sort_keys=True)
        crc = zlib.crc32(answer.encode(), crc)
        words = re.sub(r"[^a-z ]+", " ", text).split(" ")
        crc = zlib.crc32(" ".join(sorted(set(words))).encode(), crc)
        kept = [record for record in kept + records if record["score"] > 0.7]
    print(f"checksum {crc:08x} {len(kept)}")


main()
