// The streams of a verilated design: one side of their handshake, with its pauses, from arrays and to arrays of beats.
//
// The pauses are those of sim/streams.py's Gaps, draw by draw.

#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

constexpr unsigned PHASE = 32;  // cycles for which a port keeps its pace

struct Gaps {
    uint32_t state = 0;  // 0: no pauses
    uint32_t cycle = 0;
    uint32_t pace = 0;
    bool patient = false;

    uint32_t draw() {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        return state >> 8;
    }

    bool toss() {
        if (state == 0) return true;
        if (cycle++ % PHASE == 0) {
            const uint32_t value = draw();
            pace = value % 5;
            patient = value / 5 % 4 == 0;
        }
        return draw() % 4 < pace;
    }
};

struct Port {
    bool is_input;
    uint8_t* payload;  // Verilator keeps every payload little-endian, in 1, 2, 4, 8 or 4n bytes
    size_t bytes;
    uint8_t& valid;
    uint8_t& ready;

    uint8_t* beats = nullptr;  // [length][stride]: where input beats come from and output beats go to
    size_t stride = 0;
    uint64_t length = 0;  // beats in the array: total may be a multiple of it
    uint64_t total = 0;
    uint64_t moved = 0;
    int64_t* cycles = nullptr;  // [total]
    Gaps gaps;
    bool free = false;           // the pauses let this side move in this cycle
    bool waiting = false;        // valid and not taken in the cycle before
    std::vector<uint8_t> held;  // the payload of an output that waits

    uint8_t* beat() const { return beats + moved % length * stride; }

    void drive() {
        free = gaps.toss() && (is_input || !gaps.patient || waiting);
        const bool left = moved < total;
        if (is_input) {
            valid = left && (free || waiting);
            if (valid && !waiting) std::memcpy(payload, beat(), bytes);
        } else {
            ready = left && free;
        }
    }

    // Whether the beat moves in this cycle.
    bool moves() const { return valid && ready; }

    // Takes note of what the cycle showed. Returns false where an output did not hold its beat.
    bool observe(uint64_t cycle) {
        if (!is_input && waiting && (!valid || std::memcmp(held.data(), payload, bytes) != 0)) return false;
        if (moves()) {
            if (moved < total) record(cycle);
            ++moved;
            waiting = false;
        } else {
            if (valid && !waiting && !is_input) std::memcpy(held.data(), payload, bytes);
            waiting = valid;
        }
        return true;
    }

    void record(uint64_t cycle) {
        if (!is_input) std::memcpy(beat(), payload, bytes);
        cycles[moved] = static_cast<int64_t>(cycle);
    }
};
