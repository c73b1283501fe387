// Makes a token the next step's, and keeps it in a ring for the host.
fn hand_on(id: u32) {
    picked[step[0] % RING] = id;
    step[0] = step[0] + 1u;
    step[2] = id;
}
