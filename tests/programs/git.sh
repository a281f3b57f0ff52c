#!/bin/sh
. "$(dirname "$0")/common.sh"
require sh git awk

# Every hash in a repository is a checksum of what came before, so equal logs mean equal histories, byte for byte.
cat >"$work/session.sh" <<'END'
set -e
export HOME=$PWD GIT_CONFIG_NOSYSTEM=1
export GIT_AUTHOR_NAME=Author GIT_AUTHOR_EMAIL=author@example.org
export GIT_COMMITTER_NAME=Author GIT_COMMITTER_EMAIL=author@example.org
export GIT_AUTHOR_DATE='2020-01-01T00:00:00Z' GIT_COMMITTER_DATE='2020-01-01T00:00:00Z'
git init -q repository
cd repository
git symbolic-ref HEAD refs/heads/main

# 400 commits through one process, 60 through many.
awk 'BEGIN {
    for (n = 1; n <= 400; n++) {
        text = ""
        for (i = 1; i <= 200; i++)
            text = text "line " i " as of " (i % 7 == n % 7 ? n : n - n % 7) "\n"
        print "commit refs/heads/main\nmark :" n
        print "committer Author <author@example.org> " 1500000000 + n " +0000"
        print "data 10\ncommit " sprintf("%03d", n)
        if (n > 1)
            print "from :" n - 1
        print "M 644 inline file" n % 40
        print "data " length(text) "\n" text
    }
}' | git fast-import --quiet
git reset -q --hard
for number in $(seq 60); do
    echo "change $number" >>"file$((number % 10))"
    git commit -q -a -m "change $number"
done
git branch side HEAD~30
git checkout -q side
echo "beside" >other
git add other
git commit -q -m "beside"
git checkout -q main
git merge -q -m "merge" side

git gc --quiet
git fsck --full --strict --no-progress
git rev-parse HEAD
git log --stat
git log -p -M
git blame file3
git count-objects
cd ..
git clone -q --no-local repository copy
git -C copy repack -a -d -f -q --window=50
git -C copy fsck --full --no-progress
git -C copy rev-parse HEAD
git -C copy grep -c 'line 7' HEAD
git -C copy archive HEAD | cksum
rm -rf repository copy
END
compare sh "$work/session.sh"
