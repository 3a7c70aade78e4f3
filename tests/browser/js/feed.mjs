// What happened, in order, for whoever waits for it.

export class Feed {
  items = [];
  #waiting = [];

  push(item) {
    this.items.push(item);
    this.#waiting.splice(0).forEach((wake) => wake());
  }

  async until(count) {
    while (this.items.length < count) await new Promise((wake) => this.#waiting.push(wake));
    return this.items;
  }
}
