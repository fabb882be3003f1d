// What a token says that it is for; only the server can say whether that is true.

/** {kind: 'session' | 'room' | 'owner' | '', id} */
export function subjectOf(token) {
  try {
    const bytes = Uint8Array.from(atob(token.split('.')[1].replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0));
    const [, kind, id] = /^([a-z]+):(.*)$/s.exec(JSON.parse(new TextDecoder().decode(bytes)).sub);
    return { kind, id };
  } catch { return { kind: '', id: '' }; }
}
