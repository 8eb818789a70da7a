// A memory channel behind a design's streams, cycle by cycle: the same as sim/memory_model.py; sim/memory.py tells the rules.

#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <deque>
#include <utility>
#include <vector>

#include "streams.h"

namespace {

// The three structures are laid out as those in sim/simulation.py.
struct MemoryTiming {
    int64_t rate_beats, rate_cycles, latency, activation, refresh, refresh_interval, outstanding, late, seed, first_cycle;
};

struct MemoryUse {
    int64_t read, written, refresh, busy, refused, waiting, idle;
};

struct MemoryState {
    MemoryUse use;
    int64_t fault_address, fault_beats;  // of the request that was beyond the contents; -1 beats: none
};

struct MemoryPorts {
    Port *requests, *data, *writes, *written, *acknowledged;  // none where the design has no such port
};

struct Burst {
    uint64_t address, left;
    int64_t ready;    // the cycle from which on it may be served
    int64_t opening;  // cycles until its row is open
};

constexpr size_t BEAT = 64;

// A written beat, and where it belongs.
struct Written {
    uint64_t address;
    uint8_t bytes[BEAT + BEAT / 8];  // the data, and a strobe for each byte
};

// The answer to a write: the cycle from which on it may come, and the beats that are kept then.
struct Answer {
    int64_t ready;
    std::vector<Written> beats;
};

// The bursts of one direction, first come first served.
class Bursts {
  public:
    void add(uint64_t address, uint64_t beats, int64_t ready, int64_t activation) {
        queue.push_back({address, beats, ready, address == end ? 0 : activation});
        end = address + beats;
    }

    // Whether the first burst can move a beat; to be called once a cycle, for it opens the row where it must.
    bool open(int64_t cycle) {
        if (queue.empty() || cycle < queue.front().ready) return false;
        if (queue.front().opening == 0) return true;
        --queue.front().opening;
        return false;
    }

    // Moves a beat.
    void step() {
        ++queue.front().address;
        if (--queue.front().left == 0) queue.pop_front();
    }

    uint64_t address() const { return queue.front().address; }
    bool at_last() const { return queue.front().left == 1; }
    int64_t size() const { return static_cast<int64_t>(queue.size()); }

    // Beats of all of them.
    uint64_t left() const {
        uint64_t beats = 0;
        for (const Burst& burst : queue) beats += burst.left;
        return beats;
    }

  private:
    std::deque<Burst> queue;
    uint64_t end = UINT64_MAX;  // of the last burst: one that begins there needs no other row
};

class MemoryChannel {
  public:
    MemoryChannel(const MemoryTiming& timing, MemoryState& state, uint8_t* contents, uint64_t beats, const MemoryPorts& ports)
        : timing(timing), state(state), contents(contents), beats(beats), ports(ports) {
        restart();
    }

    void begin() { state.use = {}; }

    void restart() {
        reads = writes = Bursts{};
        taken.clear();
        answers.clear();
        now = timing.first_cycle;
        credit = most_credit();
        gaps = Gaps{static_cast<uint32_t>(timing.seed)};
        state.fault_beats = -1;
    }

    void drive() {
        refreshing = timing.refresh > 0 && now % timing.refresh_interval >= timing.refresh_interval - timing.refresh;
        credit = std::min(credit + timing.rate_beats, most_credit());
        const bool moves = gaps.toss() && credit >= timing.rate_cycles;
        const bool readable = !refreshing && reads.open(now) && moves;
        const bool writable = !refreshing && writes.open(now) && moves && ports.written->free;
        bool offers = false;
        if (ports.data) {
            Port& data = *ports.data;
            offers = readable && data.free && !data.waiting && !(writable && ports.written->waiting);
            if (offers) {
                credit -= timing.rate_cycles;
                std::memcpy(data.payload, at(reads), BEAT);
            }
            data.valid = offers || data.waiting;
            ports.requests->ready = ports.requests->free && reads.size() < timing.outstanding;
        }
        if (ports.written) {
            ports.written->ready = writable && !offers;
            ports.writes->ready = ports.writes->free && writes.size() < timing.outstanding;
        }
        if (ports.acknowledged) {
            Port& answer = *ports.acknowledged;
            answer.valid = answer.waiting || (answer.free && !answers.empty() && answers.front().ready <= now);
        }
    }

    // Takes note of what the cycle showed. Returns false where a request was beyond the contents.
    bool observe() {
        const bool read = moves(ports.data), wrote = moves(ports.written);
        count(read || wrote);
        if (read) {
            reads.step();
            state.use.read += BEAT;
        }
        if (wrote) {
            credit -= timing.rate_cycles;
            taken.push_back({writes.address(), {}});
            std::memcpy(taken.back().bytes, ports.written->payload, sizeof(Written::bytes));
            for (size_t i = BEAT; i < sizeof(Written::bytes); ++i) state.use.written += __builtin_popcount(taken.back().bytes[i]);
            const bool ends = writes.at_last();
            writes.step();
            if (!ports.acknowledged) {
                keep(taken);
            } else if (ends) {
                answers.push_back({now + latency(), std::move(taken)});
                taken.clear();
            }
        }
        if (moves(ports.acknowledged)) {
            keep(answers.front().beats);
            answers.pop_front();
        }
        if (moves(ports.requests) && !ask(reads, *ports.requests, now + latency())) return false;
        if (moves(ports.writes) && !ask(writes, *ports.writes, now + 1)) return false;
        ++now;
        return true;
    }

    Bursts reads, writes;
    bool answering = false;  // there is something to do, and it is this side that takes its time

  private:
    static constexpr uint64_t MAX_BEATS = 256;

    static bool moves(const Port* port) { return port && port->moves(); }

    // A beat's cost and what a cycle would add without paying a whole one more: no rate is lost, and no more saved up than one beat.
    int64_t most_credit() const { return timing.rate_cycles + timing.rate_beats - 1; }

    // Cycles until the answer to what came now.
    int64_t latency() { return timing.latency + (timing.seed == 0 ? 0 : gaps.draw() % (timing.late + 1)); }

    // Writes beats, and forgets them.
    void keep(std::vector<Written>& beats) {
        for (const Written& beat : beats)
            for (size_t i = 0; i < BEAT; ++i)
                if (beat.bytes[BEAT + i / 8] >> i % 8 & 1) contents[beat.address * BEAT + i] = beat.bytes[i];
        beats.clear();
    }

    uint8_t* at(const Bursts& bursts) const { return contents + bursts.address() * BEAT; }

    bool ask(Bursts& bursts, const Port& port, int64_t ready) {
        uint64_t request;
        std::memcpy(&request, port.payload, sizeof(request));
        const uint64_t address = request & UINT32_MAX, asked = request >> 32;
        if (asked < 1 || asked > MAX_BEATS || address + asked > beats) {
            state.fault_address = static_cast<int64_t>(address);
            state.fault_beats = static_cast<int64_t>(asked);
            return false;
        }
        bursts.add(address, asked, ready, timing.activation);
        return true;
    }

    void count(bool moved) {
        const bool pending = reads.size() > 0 || (writes.size() > 0 && ports.written->valid);
        const bool on_offer = ports.data && ports.data->valid;
        answering = (pending && !on_offer) || (!answers.empty() && !ports.acknowledged->valid);
        MemoryUse& use = state.use;
        ++(refreshing ? use.refresh : moved ? use.busy : on_offer ? use.refused : pending ? use.waiting : use.idle);
    }

    MemoryTiming timing;
    MemoryState& state;
    uint8_t* contents;  // [beats][64]
    uint64_t beats;
    MemoryPorts ports;
    std::vector<Written> taken;  // of the burst that is being written
    std::deque<Answer> answers;
    int64_t now, credit;
    bool refreshing = false;
    Gaps gaps;
};

}  // namespace
