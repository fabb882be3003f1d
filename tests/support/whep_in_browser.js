// What a WHEP player and a WHIP sender of anybody's do, in Chromium: for tests and for bench/whep.py. Installs window.whep.

window.whep = {
  // Watches; how many ms from the POST to the first picture.
  async watch(url, headers = {}) {
    const pc = this.pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
    const video = this.video ??= document.body.appendChild(document.createElement('video'));
    Object.assign(video, { muted: true, autoplay: true, srcObject: new MediaStream() });
    pc.ontrack = ({ track }) => video.srcObject.addTrack(track);
    for (const kind of ['audio', 'video']) pc.addTransceiver(kind, { direction: 'recvonly' });
    await pc.setLocalDescription();
    const shown = new Promise((resolve) => video.requestVideoFrameCallback((now) => resolve(now)));
    const began = performance.now();
    const reply = await fetch(url, { method: 'POST', headers: { ...headers, 'Content-Type': 'application/sdp' }, body: pc.localDescription.sdp });
    if (reply.status !== 201) throw new Error(await reply.text());
    Object.assign(this, { headers, tag: reply.headers.get('ETag'), location: new URL(reply.headers.get('Location'), reply.url), answer: await reply.text() });
    await pc.setRemoteDescription({ type: 'answer', sdp: this.answer });
    await shown;
    return performance.now() - began;
  },

  // Sends a tone that comes and goes (WHIP), until the connection is made.
  async send(url, headers = {}) {
    const pc = this.pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
    const context = new AudioContext(), tone = context.createOscillator(), gain = context.createGain(), end = context.createMediaStreamDestination();
    await context.resume();
    tone.connect(gain).connect(end);
    for (let second = 0; second < 60; second++) {
      gain.gain.setValueAtTime(0.5, context.currentTime + 1.5 * second);
      gain.gain.setValueAtTime(0, context.currentTime + 1.5 * second + 0.5);
    }
    tone.start();
    pc.addTransceiver(end.stream.getAudioTracks()[0], { direction: 'sendonly', streams: [end.stream] });
    await pc.setLocalDescription();
    const reply = await fetch(url, { method: 'POST', headers: { ...headers, 'Content-Type': 'application/sdp' }, body: pc.localDescription.sdp });
    if (reply.status !== 201) throw new Error(await reply.text());
    Object.assign(this, { headers, location: new URL(reply.headers.get('Location'), reply.url), answer: await reply.text() });
    await pc.setRemoteDescription({ type: 'answer', sdp: this.answer });
    while (pc.connectionState !== 'connected') await new Promise((resolve) => setTimeout(resolve, 20));
    return this.answer;
  },

  // A new ICE session by PATCH, as RFC 9725 has it: the answer to the restarted offer is the old one with new names and candidates.
  async restart() {
    const { pc } = this;
    pc.restartIce();
    await pc.setLocalDescription(await pc.createOffer());
    while (pc.iceGatheringState !== 'complete') await new Promise((resolve) => setTimeout(resolve, 20));
    const offered = pc.localDescription.sdp.split(/\r\n(?=m=)/)[1].split('\r\n');
    const body = offered.filter((line) => /^(m=|a=(mid|ice-ufrag|ice-pwd|candidate):)/.test(line)).join('\r\n') + '\r\n';
    const reply = await fetch(this.location, { method: 'PATCH', headers: { ...this.headers, 'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': '*' }, body });
    if (reply.status !== 200) throw new Error(`${reply.status} ${await reply.text()}`);
    const said = (await reply.text()).split('\r\n'), told = (name) => said.filter((line) => line.startsWith(`a=${name}:`));
    const kept = this.answer.split('\r\n').filter((line) => !/^a=(candidate|end-of-candidates)/.test(line));
    const first = kept.findIndex((line) => line.startsWith('a=ice-pwd:'));
    kept.splice(first + 1, 0, ...told('candidate'));
    const sdp = kept.map((line) => line.startsWith('a=ice-ufrag:') ? told('ice-ufrag')[0] : line.startsWith('a=ice-pwd:') ? told('ice-pwd')[0] : line).join('\r\n');
    await pc.setRemoteDescription({ type: 'answer', sdp });
    this.tag = reply.headers.get('ETag');
    return this.tag;
  },

  // {port of ours, port of the server's, pictures} of the pair that is used.
  async path() {
    const report = await this.pc.getStats();
    const found = { pictures: 0 };
    for (const entry of report.values()) {
      if (entry.type === 'transport') {
        const pair = report.get(entry.selectedCandidatePairId);
        Object.assign(found, { state: entry.iceState, ours: report.get(pair?.localCandidateId)?.port, theirs: report.get(pair?.remoteCandidateId)?.port });
      }
      if (entry.type === 'inbound-rtp' && entry.kind === 'video') found.pictures = entry.framesDecoded ?? 0;
    }
    return found;
  },

  async end() {
    const { status } = await fetch(this.location, { method: 'DELETE', headers: this.headers });
    this.pc.close();
    return status;
  },
};
