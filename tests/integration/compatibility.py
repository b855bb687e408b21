#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
What the programs that were there before do with the keys, by python3-redis: increments of prompt, completion and total, usage_limit,
reading all fields as integers, and DEL as a reset.

  compatibility.py SOCKET work USERS ROUNDS SEED   prints what it added and what its resets removed, by user, as JSON
  compatibility.py SOCKET read USERS               prints all fields of all users, as JSON
  compatibility.py SOCKET reset USER               deletes the user's key
"""

import json
import random
import sys

import redis

CYCLE = "2026-11-01"
FIELDS = ("prompt_tokens", "completion_tokens", "total_tokens")


def key_of(user):
    return "token_usage:user-%02d:%s" % (user, CYCLE)


def integers(fields):
    return {name: int(value) for name, value in fields.items()}  # ValueError for what is no integer


def add(db, user, prompt, completion, added):
    """Three commands, one after the other, as the repository that is replaced sends them."""
    for name, tokens in zip(FIELDS, (prompt, completion, prompt + completion)):
        db.hincrby(key_of(user), name, tokens)
        added[user][name] += tokens


def reset(db, user, removed):
    """DEL, and what went with it."""
    with db.pipeline(transaction=True) as pipe:
        pipe.hgetall(key_of(user))
        pipe.delete(key_of(user))
        fields, _ = pipe.execute()
    for name, value in integers(fields).items():
        removed[user][name] = removed[user].get(name, 0) + value


def work(db, users, rounds, seed):
    rng = random.Random(seed)
    added = [dict.fromkeys(FIELDS, 0) for _ in range(users)]
    removed = [{} for _ in range(users)]
    for number in range(rounds):
        user = rng.randrange(users)
        add(db, user, rng.randrange(1000), rng.randrange(1000), added)
        fields = integers(db.hgetall(key_of(user)))
        if any(value < 0 for value in fields.values()):
            raise ValueError("a figure below zero: %r" % fields)
        if user % 10 != 9:  # the others are never reset, and keep their limit
            db.hset(key_of(user), "usage_limit", 1000000 + user)
        elif number % 3 == 0:
            reset(db, user, removed)
    return {"added": added, "removed": removed}


def main():
    db = redis.Redis(unix_socket_path=sys.argv[1], decode_responses=True)
    if sys.argv[2] == "work":
        answer = work(db, *(int(text) for text in sys.argv[3:6]))
    elif sys.argv[2] == "read":
        answer = [integers(db.hgetall(key_of(user))) for user in range(int(sys.argv[3]))]
    else:
        answer = db.delete(key_of(int(sys.argv[3])))
    print(json.dumps(answer))


main()
