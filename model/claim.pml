/* claim.pml: the life of one task's record under workers, a leader, an operator and faults, for Spin.
 *
 * Owns the protocol of docs/guarantees.md (P1 to P5, P10) and nothing of its pace: ZooKeeper is a server that applies one
 * transaction at a time; everything between two transactions may take for ever. docs/model.md says what is left out.
 *
 * Set with -D: WORKERS, FAULTS (of any kind, together), OPERATIONS (an operator's), ATTEMPTS (per replay), POLICY, and
 * one MUTANT_… that breaks one rule. REBORN: the id may leave the ledger and be submitted anew while a worker is frozen.
 */

#ifndef WORKERS
#define WORKERS 2
#endif
#ifndef FAULTS
#define FAULTS 2
#endif
#ifndef OPERATIONS
#define OPERATIONS 1
#endif
#ifndef ATTEMPTS
#define ATTEMPTS 2
#endif

#define PARK 0
#define VERIFY 1
#define RERUN 2
#ifndef POLICY
#define POLICY PARK
#endif

mtype:state = { waiting, running, completed, failed, cancelled, uncertain };
mtype:event = {
  claimed, succeeded, attemptFailed, abandoned, released, readopted, interrupted, cancelRequested,
  cancelRecord, verified, replayed, resolved };

/* The state table: a test compares it with src/domain/transitions.ts; every write of this model asserts it.
 * `cancelRecord` is the event `cancelled`, whose name here is the state's. */
#define ALLOWED(from, event, to) ( \
  (from == waiting && event == claimed && (to == running)) || \
  (from == waiting && event == cancelRecord && (to == cancelled)) || \
  (from == running && event == succeeded && (to == completed)) || \
  (from == running && event == attemptFailed && (to == waiting || to == failed || to == cancelled)) || \
  (from == running && event == abandoned && (to == uncertain)) || \
  (from == running && event == released && (to == waiting || to == cancelled)) || \
  (from == running && event == readopted && (to == running)) || \
  (from == running && event == interrupted && (to == waiting || to == uncertain || to == cancelled)) || \
  (from == running && event == cancelRequested && (to == running)) || \
  (from == uncertain && event == succeeded && (to == completed)) || \
  (from == uncertain && event == attemptFailed && (to == waiting || to == failed || to == cancelled)) || \
  (from == uncertain && event == released && (to == waiting || to == cancelled)) || \
  (from == uncertain && event == verified && (to == completed || to == waiting || to == uncertain || to == cancelled)) || \
  (from == uncertain && event == replayed && (to == waiting)) || \
  (from == uncertain && event == resolved && (to == completed || to == failed)) || \
  (from == failed && event == replayed && (to == waiting)) || \
  (from == cancelled && event == replayed && (to == waiting)) )

/* The record. */
mtype:state st = waiting;
byte ver;             /* of its znode; born as 0 */
byte nonce;           /* of the attempt; 0: nobody's, an operator's */
byte attempt = 1;
byte base;            /* attempts that no longer count against the policy: those before the last replay */
byte claim;           /* the claim it runs under; 0: none */
bit asked;            /* a cancellation was requested */
byte lastWaiting;     /* the version at which it last waited, before this one: what a stale reader may see */
byte lastWaitingAttempt;

/* Claims and nonces have names below NAMES; a run that needed more would be an error of this model, and is asserted. */
#if WORKERS == 3 || defined(REBORN)
#define MASK int
#define NAMES 31
#else
#define MASK short
#define NAMES 15
#endif

/* The server: which claims stand. `own`: in a worker's present session; `ghost`: in one that it has given up, or whose
 * worker has died, and that the server has not yet expired. */
MASK own[WORKERS];
MASK ghost[WORKERS];
bit expired[WORKERS]; /* the server has ended the session, its worker does not know */
byte nextId = 1;      /* names claims and nonces; no name is used twice */

byte faults = FAULTS;
byte operations = OPERATIONS;

/* What happened outside, and what the promises say of it. */
short acted;          /* attempts that had their effect */
byte allowance = 1;   /* effects still allowed: 1 + failures, `notExecuted`s and replays recorded - effects so far */
byte acting[WORKERS]; /* the attempt whose handler has begun and may yet have its effect; 0: none */
byte lastFence;       /* of the handler that began last */
#if POLICY == RERUN
byte sinkFence;       /* the highest that the receiver has seen */
#endif
#ifdef REBORN
byte life;            /* how often the id was submitted anew after it had left the ledger */
#endif

#define BIT(n) (1 << (n))
#if WORKERS == 3
#define STANDING (own[0] | own[1] | own[2] | ghost[0] | ghost[1] | ghost[2])
#define MAY_ACT(n) (acting[0] == n || acting[1] == n || acting[2] == n)
#else
#define STANDING (own[0] | own[1] | ghost[0] | ghost[1])
#define MAY_ACT(n) (acting[0] == n || acting[1] == n)
#endif
#define STANDS(c) ((STANDING & BIT(c)) != 0)
#define ATTEMPTS_LEFT (attempt - base < ATTEMPTS)
#define FAULT faults > 0 -> faults--

/* One setData as the server applies it. `from` is the state that the writer read. */
inline write(from, event, to) {
  assert(ALLOWED(from, event, to));
  assert(st != completed);                       /* completed never moves */
  if :: st == waiting -> lastWaiting = ver; lastWaitingAttempt = attempt :: else fi;
  st = to;
  ver++;
  if
  :: to == waiting || to == running
  :: else -> lastWaiting = 0; lastWaitingAttempt = 0   /* nothing follows from them but by an operator */
  fi
}

inline over(event, to) { write(st, event, to); claim = 0; if :: to != uncertain -> asked = 0 :: else fi }

inline waitAgain(event) {
  if
  :: asked -> over(event, cancelled)
  :: else -> over(event, waiting); attempt++
  fi
}

inline newId() { id = nextId; nextId++; assert(nextId < NAMES) }

/* A claim and its record in one transaction, at the version that was read. */
inline putUnderClaim(w, event, from, n, mine) {
  write(from, event, running);
  attempt = n; nonce = mine; claim = id;
  own[w] = own[w] | BIT(id);
}

inline dropClaim(w, c) { own[w] = own[w] & ~BIT(c); ghost[w] = ghost[w] & ~BIT(c) }

/* The handler's effect on the outside world. */
inline act(w) {
#if POLICY == RERUN
#ifndef MUTANT_UNFENCED_SINK
  if
  :: fence < sinkFence -> refusedBySink = 1; goto settled
  :: else
  fi;
#endif
  assert(fence >= sinkFence);                    /* no effect of an older attempt after a newer one's */
  sinkFence = fence;
#endif
#ifdef REBORN
  if :: myLife != life -> goto acted_elsewhere :: else fi;
#endif
  assert((acted & BIT(myAttempt)) == 0);         /* one effect per attempt */
  acted = acted | BIT(myAttempt);
  assert(allowance > 0 && allowance < 128);                         /* effects <= 1 + failures + notExecuted + replays */
  allowance--
}

inline recordSuccess() {
  assert((acted & BIT(attempt)) != 0);   /* completed: there was an effect */
  over(succeeded, completed)
}
inline recordFailure() {
  if
  :: asked -> allowance++; over(attemptFailed, cancelled)
  :: else ->
    allowance++;
    if
    :: ATTEMPTS_LEFT -> over(attemptFailed, waiting); attempt++
    :: over(attemptFailed, failed)               /* none left, or not to be retried */
    fi
  fi
}

inline recordRelease() {
  if
  :: asked -> over(released, cancelled)
  :: else -> over(released, waiting)
  fi
}

/* The outcome at the version that the worker holds, and the deletion of its claim. */
inline record(w) {
#ifdef REBORN
  assert(myLife == life);                        /* evidence of another task of the same id */
#endif
  assert(nonce == myNonce && attempt == myAttempt);   /* evidence of the same attempt alone */
  if
  :: ev == succeeded -> recordSuccess(); printf("worker %d: records attempt %d as succeeded\n", w, myAttempt)
  :: ev == attemptFailed -> recordFailure(); printf("worker %d: records attempt %d as failed\n", w, myAttempt)
  :: ev == released -> recordRelease(); printf("worker %d: gives attempt %d back\n", w, myAttempt)
  fi;
  dropClaim(w, myClaim)
}

#define DIES :: atomic { FAULT; printf("worker %d: dies\n", w); ghost[w] = ghost[w] | own[w]; goto reborn }
/* By its own clock, before the server says so. */
#define LOSES \
  :: atomic { here && !expired[w] && faults > 0 -> faults--; \
    printf("worker %d: takes its session for lost\n", w); \
    ghost[w] = ghost[w] | own[w]; own[w] = 0; here = 0 }
#define RENEWS \
  :: atomic { expired[w] -> expired[w] = 0; here = 0; printf("worker %d: has a new session\n", w) }
/* P5. The worker writes at the version it holds, reads again when that is refused, and goes on while the nonce is its own. */
#define READOPTS \
  :: atomic { !here && !expired[w] && st == running && (ver == myVer || nonce == myNonce) -> \
    assert(nonce == myNonce); \
    newId(); putUnderClaim(w, readopted, running, attempt, nonce); \
    printf("worker %d: readopts attempt %d\n", w, myAttempt); \
    if \
    :: myVer = ver; myClaim = id; here = 1 \
    :: FAULT; printf("worker %d: does not learn of it\n", w) \
    fi; id = 0 }
#ifdef REBORN
#define SAME_LIFE && myLife == life
#define NOTE_LIFE myLife = life
#else
#define SAME_LIFE
#define NOTE_LIFE skip
#endif

proctype Worker(byte w) {
  byte id, myVer, myNonce, myClaim, myAttempt;
  mtype:event ev;
  bit here;           /* its claim was made in its present session */
  bit did;            /* the handler has had its effect */
  bit mayAbandon;
#if POLICY == RERUN
  byte fence;
  bit refusedBySink;
#endif
#ifdef REBORN
  byte myLife;
#endif

reborn:               /* a new process, or the same one with a free slot */
  atomic {
    own[w] = 0;       /* a claim under which nothing runs is deleted (P10); after a death it is a ghost by now */
    expired[w] = 0; acting[w] = 0;
    id = 0; myVer = 0; myNonce = 0; myClaim = 0; myAttempt = 0; ev = 0; here = 0; did = 0; mayAbandon = 0;
#if POLICY == RERUN
    fence = 0; refusedBySink = 0;
#endif
#ifdef REBORN
    myLife = 0;
#endif
  }

endIdle:              /* deliveries come in any number and decide nothing (P6) */
  if
  :: atomic { st == waiting -> myVer = ver; myAttempt = attempt; NOTE_LIFE }
  :: atomic { st != waiting && lastWaitingAttempt != 0 && faults > 0 -> faults--;
      myVer = lastWaiting; myAttempt = lastWaitingAttempt; NOTE_LIFE; printf("worker %d: reads a stale record\n", w) }
  fi;
#ifdef MUTANT_INTENT_AFTER_EFFECT
  goto checkLease;
#endif

take:
  atomic {
    newId(); myNonce = id; myClaim = id;
#ifdef REBORN
    if :: myLife != life -> goto reborn :: else fi;    /* a dedup window is longer than a session */
#endif
    if
#ifdef MUTANT_VERSION_ZERO_IS_ANY
    :: ver == myVer || myVer == 0 ->
#else
    :: ver == myVer ->
#endif
      putUnderClaim(w, claimed, waiting, myAttempt, id);
      printf("worker %d: claims attempt %d, read at version %d\n", w, myAttempt, myVer);
      if
      :: myVer = ver; here = 1; id = 0; goto checkLease
      :: FAULT; here = 1; id = 0; printf("worker %d: does not learn of it\n", w)
      fi
    :: ver != myVer -> goto reborn
    :: FAULT; here = 1; id = 0; printf("worker %d: its claim and the reply are lost\n", w)
    fi
  }
#ifdef MUTANT_NO_READ_BACK
  goto checkLease;
#endif

  if                  /* P3: the reply was lost */
  :: atomic { !expired[w] -> /* read in the same session, which sees its own writes */
      if
      :: st == running && claim == myClaim -> myVer = ver; printf("worker %d: reads that the claim is its own\n", w)
      :: else -> goto reborn
      fi }
  :: goto stray
  DIES
  fi;

checkLease:           /* P1 */
  if
#if defined(MUTANT_NO_LEASE_CHECK) || defined(MUTANT_INTENT_AFTER_EFFECT)
  :: atomic { true ->
#else
  :: atomic { here && !expired[w] -> /* a trusted lease: the server has not expired the session */
#endif
      printf("worker %d: the handler of attempt %d begins\n", w, myAttempt);
      assert(st == running && nonce == myNonce);     /* its own attempt is durable, and it is the one that runs */
      assert(STANDS(claim));
      assert(myVer > lastFence);                     /* the fence grows */
      lastFence = myVer;
#if POLICY == RERUN
      fence = myVer;
#endif
      acting[w] = myAttempt; mayAbandon = 1 }
  :: atomic { !here || expired[w] -> ev = released; goto tell }
  :: atomic { FAULT; ev = released; goto tell }      /* the breaker is open, or the worker stops */
  LOSES
    ; goto checkLease
  DIES
  fi;

handle:               /* anything may happen between two steps of a handler, for any time */
  do
  :: atomic { !did ->
      printf("worker %d: EFFECT of attempt %d\n", w, myAttempt);
      act(w);
#ifdef REBORN
acted_elsewhere:
#endif
      did = 1; acting[w] = 0 }
  :: atomic { did -> ev = succeeded; did = 0; mayAbandon = 0; goto tell }
  :: atomic { ev = attemptFailed; did = 0; acting[w] = 0; mayAbandon = 0; goto tell }
  :: atomic { mayAbandon && faults > 0 && !expired[w] && st == running && nonce == myNonce ->
      faults--; mayAbandon = 0; printf("worker %d: gives its handler up, which goes on\n", w);
      over(abandoned, uncertain); dropClaim(w, myClaim); myVer = 255;   /* late: read first */ }
  RENEWS
  READOPTS
  LOSES
  DIES
  od;
#if POLICY == RERUN
settled:
  atomic { refusedBySink -> printf("worker %d: the receiver refuses it\n", w);
    acting[w] = 0; mayAbandon = 0; refusedBySink = 0; ev = attemptFailed }
#endif

tell:                 /* P2, P3: until the ledger has it or refuses it */
#ifdef MUTANT_INTENT_AFTER_EFFECT
  goto reborn;
#endif
  do
  :: atomic { !expired[w] && ver == myVer ->
      record(w);
      if
      :: goto reborn
      :: st == waiting && ev == attemptFailed && here -> own[w] = own[w] | BIT(myClaim); myVer = ver; goto inPlace
      :: FAULT; myVer = 255; printf("worker %d: does not learn of it\n", w)   /* to be read before it is written again */
      fi }
  :: atomic { !expired[w] && ver != myVer -> /* BAD_VERSION, or the reply was lost: read again */
      if
#ifdef MUTANT_FOREIGN_EVIDENCE
      :: st == running || st == uncertain -> myVer = ver
#else
      :: (st == running || st == uncertain) && nonce == myNonce -> myVer = ver
#endif
      :: else -> dropClaim(w, myClaim); goto reborn
      fi }
  RENEWS
  READOPTS
  LOSES
  DIES
  od;

inPlace:              /* the next attempt under the same claim, guarded by a check that it stands */
  if
  :: atomic { !expired[w] && STANDS(myClaim) && ver == myVer SAME_LIFE ->
      newId(); write(waiting, claimed, running); nonce = id; claim = myClaim; myNonce = id; myAttempt = attempt;
      id = 0; did = 0;
      printf("worker %d: claims attempt %d in place\n", w, myAttempt);
      if
      :: myVer = ver; goto checkLease
      :: FAULT; printf("worker %d: does not learn of it\n", w)
      fi }
  :: goto reborn      /* the delay has a worker's stop, a new session or an open breaker in it */
  LOSES
    ; goto inPlace
  DIES
  fi;
  if
  :: atomic { ver == myVer + 1 && nonce == myNonce -> myVer = ver; goto checkLease }
  :: atomic { !(ver == myVer + 1 && nonce == myNonce) ->
      if
      :: (st == running || st == uncertain) && nonce == myNonce -> ev = released; myVer = ver; goto tell
      :: else -> goto reborn
      fi }
  DIES
  fi;

stray:                /* a claim that could not be read back is never run; the audit gives it back */
#ifdef MUTANT_NO_AUDIT
  goto endIdle;
#endif
  if
  :: atomic { !expired[w] ->
      if
      :: (st == running || st == uncertain) && nonce == myNonce ->
        printf("worker %d: gives attempt %d back\n", w, attempt);
        recordRelease()
      :: else
      fi;
      goto reborn }
  RENEWS
    ; goto stray
  LOSES
    ; goto stray
  DIES
  fi
}

inline interruptRecord() {
#if POLICY == RERUN
  if
  :: ATTEMPTS_LEFT -> allowance++; waitAgain(interrupted)
  :: else -> over(interrupted, uncertain)
  fi
#else
  over(interrupted, uncertain)
#endif
}

/* P4. It may take any time between seeing that a claim is gone and acting on it. */
proctype Leader() {
  byte gone;
endWatching:
  do
  :: atomic { gone == 0 && st == running && !STANDS(claim) -> gone = claim }
  :: atomic { gone != 0 ->
      if
#ifdef MUTANT_CLAIM_IGNORED
      :: st == running ->
#else
      :: st == running && claim == gone ->
#endif
        printf("leader: interrupts attempt %d\n", attempt);
        assert(!STANDS(claim));                  /* no task is interrupted while its claim stands */
        interruptRecord()
      :: else
      fi;
      gone = 0 }
  od
}

#if POLICY == VERIFY
/* A truthful hook: `notExecuted` only when there was no effect and can be none. */
proctype Verifier() {
  byte asking;
  bit found;
endAsking:
  do
  :: atomic { asking == 0 && st == uncertain && nonce != 0 && (acted & BIT(attempt)) != 0 -> asking = nonce; found = 1 }
  :: atomic { asking == 0 && st == uncertain && nonce != 0 && (acted & BIT(attempt)) == 0 && !MAY_ACT(attempt) ->
      asking = nonce }
  :: atomic { asking == 0 && st == uncertain && faults > 0 -> faults--; write(uncertain, verified, uncertain) }
  :: atomic { asking != 0 ->
      if
      :: st == uncertain && nonce == asking && found ->
        printf("verify: attempt %d was completed\n", attempt); over(verified, completed)
      :: st == uncertain && nonce == asking && !found ->
        printf("verify: attempt %d was not executed\n", attempt); allowance++; waitAgain(verified)
      :: else
      fi;
      asking = 0; found = 0 }
  od
}
#endif

proctype Operator() {
endOperating:
  do
  :: atomic { operations > 0 && (st == uncertain || st == failed || st == cancelled) ->
      operations--; printf("operator: replays the task\n");
#ifdef MUTANT_UNKEYED_REPLAY
      if :: st == uncertain -> allowance-- :: else fi;   /* as if a replay could not repeat an effect */
#endif
      over(replayed, waiting); base = attempt; attempt++; nonce = 0; asked = 0; allowance++ }
  :: atomic { operations > 0 && st == waiting -> operations--; over(cancelRecord, cancelled) }
  :: atomic { operations > 0 && st == running && !asked -> operations--; write(running, cancelRequested, running); asked = 1;
      printf("operator: asks to cancel\n") }
  :: atomic { operations > 0 && st == uncertain && (acted & BIT(attempt)) != 0 -> operations--; over(resolved, completed) }
  :: atomic { operations > 0 && st == uncertain -> operations--; over(resolved, failed); printf("operator: resolves it\n") }
#ifdef REBORN
  :: atomic { life == 0 && (st == completed || st == failed || st == cancelled) ->
      printf("the id leaves the ledger and is submitted anew\n");
      life = 1; st = waiting; ver = 0; nonce = 0; attempt = 1; base = 0; claim = 0; asked = 0;
      lastWaiting = 0; lastWaitingAttempt = 0; acted = 0; allowance = 1; lastFence = 0 }
#endif
  od
}
/* The server ends sessions: of workers that are cut off, and in the end of those that are gone. */
proctype Sessions(byte w) {
endServing:
  do
  :: atomic { own[w] != 0 && !expired[w] && faults > 0 -> faults--; own[w] = 0; expired[w] = 1;
      printf("server: expires the session of worker %d\n", w) }
  :: atomic { ghost[w] != 0 -> ghost[w] = ghost[w] & (ghost[w] - 1); printf("server: ends a session that worker %d left\n", w) }
  od
}

/* Where nothing can happen any more, the task is not left behind. */
proctype Rest() {
endResting:
  timeout ->
  atomic {
    assert(st != waiting && st != running);
    assert(STANDING == 0);
    assert(st != uncertain || faults < FAULTS);  /* no task is uncertain unless something went wrong */
#if POLICY == VERIFY
    assert(st != uncertain || nonce == 0);
#endif
  }
}

init {
  atomic {
    run Worker(0); run Sessions(0);
    run Worker(1); run Sessions(1);
#if WORKERS == 3
    run Worker(2); run Sessions(2);
#endif
    run Leader();
    run Operator();
#if POLICY == VERIFY
    run Verifier();
#endif
    run Rest()
  }
}
